rule salmon:
    input:
        mate1=rules.fastp.output.mate1,
        mate2=rules.fastp.output.mate2,
        # After STAR, not beside it: each has the job's cores and memory to itself.
        after=rules.star.output.version,
    output:
        transcripts=scratch("work/{sample}/quant.sf"),
        about=scratch("work/{sample}/salmon.json"),
    log:
        scratch_log("salmon"),
    group:
        "sample"
    conda:
        "../envs/salmon.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: config["salmon_mem_mb"] * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        release=config["release"],
        source=SOURCE,
        library=lambda wildcards: library_type(SAMPLES[wildcards.sample]),
        reads=lambda wildcards, input: pairing(
            wildcards,
            f"--unmatedReads {input.mate1}",
            f"--mates1 {input.mate1} --mates2 {input.mate2}",
        ),
    shell:
        # libType is measured by QC: salmon's own guess fails on small samples.
        # incompatPrior above 0: of a dUTP library some 4 % of fragments are of the other strand; one
        #   that fits nowhere else still counts, as it does with salmon's own -l A. With 0 it is lost
        #   (SRR6357072: 787 of 41,832 fragments, and 87 of RDN58-1's 95).
        # minAssignedFrags 1: QC decides whether a sample is good enough, not salmon (default 10).
        "(index=$(python -m seqharvest.reference salmon"
        " --release {params.release} --source {params.source})"
        " && folder=work/{wildcards.sample}/salmon"
        " && salmon --no-version-check quant --index $index --libType {params.library}"
        " {params.reads} --threads {threads} --minAssignedFrags 1 --incompatPrior 0.001"
        " --output $folder"
        " && mv $folder/quant.sf {output.transcripts}"
        " && mv $folder/aux_info/meta_info.json {output.about}"
        " && rm -r $folder) > {log} 2>&1"
