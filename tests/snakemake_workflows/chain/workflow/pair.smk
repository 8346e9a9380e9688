# Two rules, each a Batch job of its own, with an intermediate that is kept.
import csv

RESULTS = config["results"]
with open(config["samples"]) as sheet:
    SAMPLES = [row["sample"] for row in csv.DictReader(sheet, delimiter="\t")]


rule samples:
    input:
        [f"{RESULTS}/sample={sample}/last.txt" for sample in SAMPLES],


rule first:
    input:
        "raw/project=p/sample={sample}/R1_1.fastq.gz",
    output:
        f"{RESULTS}/sample={{sample}}/middle.txt",
    shell:
        "cp {input} {output}"


rule second:
    input:
        rules.first.output[0],
    output:
        f"{RESULTS}/sample={{sample}}/last.txt",
    shell:
        "wc -l < {input} > {output}"
