rule fastqc:
    # Both mates as one stream: one start of Java and one report; fastp.json has the mates apart.
    input:
        mate1=rules.subsample.output.mate1,
        mate2=rules.subsample.output.mate2,
    output:
        sample_output("fastqc.zip"),
    log:
        scratch_log("fastqc"),
    group:
        "sample"
    conda:
        "../envs/fastqc.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,  # Java: 250 MB of heap a thread
        runtime=lambda wildcards, attempt: 10 * attempt,
    shell:
        "(folder=$(mktemp -d)"
        " && cat {input.mate1} {input.mate2}"
        " | fastqc --quiet --outdir $folder stdin:{wildcards.sample}"
        " && mv $folder/*_fastqc.zip {output}"
        " && rm -r $folder) > {log} 2>&1"


rule fastp:
    input:
        mate1=rules.subsample.output.mate1,
        mate2=rules.subsample.output.mate2,
    output:
        mate1=scratch("work/{sample}/trimmed_1.fastq"),
        mate2=scratch("work/{sample}/trimmed_2.fastq"),
        json=sample_output("fastp.json"),
    log:
        scratch_log("fastp"),
    group:
        "sample"
    conda:
        "../envs/fastp.yaml"
    threads: 1  # runs beside FastQC, and a subsample takes it two seconds
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        mate2=lambda wildcards, input, output: pairing(
            wildcards, "", f"--in2 {input.mate2} --out2 {output.mate2}"
        ),
    shell:
        "fastp --in1 {input.mate1} --out1 {output.mate1} {params.mate2}"
        " --json {output.json} --html /dev/null --thread {threads} > {log} 2>&1"
        " && touch {output.mate2}"


rule star:
    input:
        mate1=rules.fastp.output.mate1,
        mate2=rules.fastp.output.mate2,
    output:
        log=sample_output("Log.final.out"),
        counts=scratch("work/{sample}/ReadsPerGene.out.tab"),
        alignments=scratch("work/{sample}/alignments.json"),
        version=scratch("work/{sample}/star.version"),
    log:
        scratch_log("star"),
    group:
        "sample"
    conda:
        "../envs/star.yaml"
    threads: config["threads"]
    resources:
        mem_mb=star_mem_mb,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        release=config["release"],
        source=SOURCE,
        mate2=lambda wildcards, input: pairing(wildcards, "", input.mate2),
    shell:
        # The index comes from the host's cache, fetched once for all jobs of the host.
        # The alignments are never written: they stream past what measures where they lie.
        "(index=$(python -m seqharvest.reference star"
        " --release {params.release} --source {params.source})"
        " && folder=work/{wildcards.sample}/star"
        " && STAR --runThreadN {threads} --genomeDir $index --genomeLoad NoSharedMemory"
        " --readFilesIn {input.mate1} {params.mate2}"
        " --outSAMtype SAM --outStd SAM --quantMode GeneCounts --outFileNamePrefix $folder/"
        " | python -m seqharvest.qc.alignments --index $index --out {output.alignments}"
        " && mv $folder/Log.final.out {output.log}"
        " && mv $folder/ReadsPerGene.out.tab {output.counts}"
        " && STAR --version > {output.version}"
        " && rm -r $folder) > {log} 2>&1"


rule metrics:
    input:
        fastp=rules.fastp.output.json,
        fastqc=rules.fastqc.output,
        star=rules.star.output.log,
        counts=rules.star.output.counts,
        alignments=rules.star.output.alignments,
        version=rules.star.output.version,
        subsample=rules.subsample.output.stats,
    output:
        metrics=sample_output("metrics.json"),
        counts=sample_output("counts.parquet"),
    log:
        scratch_log("metrics"),
    group:
        "sample"
    conda:
        "../envs/seqharvest.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        release=config["release"],
        source=SOURCE,
        layout=lambda wildcards: pairing(wildcards, "single", "paired"),
    shell:
        "(genes=$(python -m seqharvest.reference tx2gene"
        " --release {params.release} --source {params.source})"
        " && python -m seqharvest.qc.metrics --sample {wildcards.sample}"
        " --layout {params.layout} --release {params.release} --fastp {input.fastp}"
        " --fastqc {input.fastqc} --star {input.star} --star-version $(cat {input.version})"
        " --counts {input.counts} --alignments {input.alignments}"
        " --subsample {input.subsample} --tx2gene $genes"
        " --out {output.metrics} --counts-out {output.counts}) > {log} 2>&1"
