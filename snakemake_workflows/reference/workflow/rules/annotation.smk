rule annotation:
    # Checked before any tool sees it: gffread aborts on a record it dislikes, naming little.
    input:
        fasta=source_file(config["fasta"]),
        gtf=source_file(config["gtf"]),
    output:
        genome=f"{RELEASE}genome.fa",
        genes=f"{RELEASE}genes.gtf",
        transcripts=f"{RELEASE}transcripts.fa",
        tx2gene=f"{RELEASE}tx2gene.tsv",
        made=f"{RELEASE}annotation.json",
    log:
        f"logs/{RELEASE}annotation.log",
    conda:
        "../envs/gffread.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,  # transcripts of a human GTF: 0.4 GB
        disk_mb=lambda wildcards, input: int(8 * input.size_mb) + 100,  # gzipped sources unpack
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        script=SCRIPTS / "annotation.py",
        unknown_contigs=config["unknown_contigs"],
        duplicate_transcripts=config["duplicate_transcripts"],
    shell:
        "python {params.script} --fasta {input.fasta} --gtf {input.gtf}"
        " --unknown-contigs {params.unknown_contigs}"
        " --duplicate-transcripts {params.duplicate_transcripts}"
        " --genome {output.genome} --genes {output.genes} --transcripts {output.transcripts}"
        " --tx2gene {output.tx2gene} --made {output.made} > {log} 2>&1"
