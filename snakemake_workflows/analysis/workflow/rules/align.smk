rule star:
    input:
        mate1=rules.fastp.output.mate1,
        mate2=rules.fastp.output.mate2,
    output:
        log=sample_output("Log.final.out"),
        junctions=scratch("work/{sample}/SJ.out.tab"),
        counts=scratch("work/{sample}/ReadsPerGene.out.tab"),
        version=scratch("work/{sample}/star.version"),
        bam=[sample_output("Aligned.bam")] if config["keep_bam"] else [],
    log:
        scratch_log("star"),
    group:
        "sample"
    conda:
        "../envs/star.yaml"
    threads: config["threads"]
    resources:
        mem_mb=star_mem_mb,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        release=config["release"],
        source=SOURCE,
        mate2=lambda wildcards, input: pairing(wildcards, "", input.mate2),
        # No alignments by default: nobody reads them later, and they are the largest file by far.
        # Unsorted, because sorting takes as long again and samtools sort can do it when needed.
        alignments=(
            "BAM Unsorted --outSAMattributes NH HI AS nM XS --outSAMstrandField intronMotif"
            if config["keep_bam"]
            else "None"
        ),
        keep=lambda wildcards, output: (
            f"mv $folder/Aligned.out.bam {output.bam}"
            if config["keep_bam"]
            else "true"
        ),
    shell:
        # genomeLoad NoSharedMemory: a killed job would leave shared memory behind on its host.
        # outFilterType BySJout: a read over a junction that the filter drops is dropped as well, so
        #   that counts and junction table agree (ENCODE).
        # quantMode GeneCounts: counts for each strand at no cost; the table takes the sample's.
        # All else is STAR's default: its junction filters are stricter for rarer motifs.
        "(index=$(python -m seqharvest.reference star"
        " --release {params.release} --source {params.source})"
        " && folder=work/{wildcards.sample}/star"
        " && STAR --runThreadN {threads} --genomeDir $index --genomeLoad NoSharedMemory"
        " --readFilesIn {input.mate1} {params.mate2} --readFilesCommand 'gzip -dc'"
        " --outFilterType BySJout --quantMode GeneCounts --outSAMtype {params.alignments}"
        " --outFileNamePrefix $folder/"
        " && mv $folder/Log.final.out {output.log}"
        " && mv $folder/SJ.out.tab {output.junctions}"
        " && mv $folder/ReadsPerGene.out.tab {output.counts}"
        " && {params.keep}"
        " && STAR --version > {output.version}"
        " && rm -r $folder) > {log} 2>&1"
