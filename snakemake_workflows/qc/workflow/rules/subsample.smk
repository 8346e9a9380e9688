rule subsample:
    # Streams the head of each run: the rest of the file is never fetched.
    input:
        mate1=lambda wildcards: streamed(reads(wildcards, 1)),
        mate2=lambda wildcards: streamed(reads(wildcards, 2)),
    output:
        mate1=scratch("work/{sample}/subsample_1.fastq"),
        mate2=scratch("work/{sample}/subsample_2.fastq"),  # empty for single-end
        stats=scratch("work/{sample}/subsample.json"),
    log:
        scratch_log("subsample"),
    group:
        "sample"
    conda:
        "../envs/seqharvest.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        # The whole chain's: a pair is about 1 kB, plain; read, trimmed, and in STAR's own files.
        disk_mb=3 * config["subsample_reads"] // 1000 + 200,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        reads=config["subsample_reads"],
    shell:
        "python -m seqharvest.qc.subsample --reads {params.reads}"
        " --mate1 {input.mate1} --mate2 {input.mate2}"
        " --out {output.mate1} {output.mate2} --stats {output.stats} 2> {log}"
