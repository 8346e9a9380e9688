rule fastp:
    # Runs of a sample are joined here: one experiment, sequenced several times.
    input:
        mate1=lambda wildcards: reads(wildcards, 1),
        mate2=lambda wildcards: reads(wildcards, 2),
    output:
        mate1=scratch("work/{sample}/trimmed_1.fastq.gz"),
        mate2=scratch("work/{sample}/trimmed_2.fastq.gz"),  # empty for single-end
        json=sample_output("fastp.json"),
    log:
        scratch_log("fastp"),
    group:
        "sample"
    conda:
        "../envs/fastp.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        # The whole chain's: the reads, the runs joined, trimmed at compression 1 (1.25); then, in
        # the joined runs' place, reads that STAR holds back and its alignments (1.5).
        disk_mb=lambda wildcards, input: int(
            (4.5 if config["keep_bam"] else 3.5) * input.size_mb
        )
        + 500,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        script=Path(workflow.basedir) / "scripts/trim.py",
    shell:
        "python {params.script} --mate1 {input.mate1} --mate2 {input.mate2}"
        " --out {output.mate1} {output.mate2} --json {output.json} --threads {threads}"
        " > {log} 2>&1"
