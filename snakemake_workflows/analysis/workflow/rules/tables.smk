rule tables:
    # The lake's rows of one sample, and the tools' own tables for people who want those.
    input:
        fastp=rules.fastp.output.json,
        junctions=rules.star.output.junctions,
        counts=rules.star.output.counts,
        version=rules.star.output.version,
        transcripts=rules.salmon.output.transcripts,
        salmon=rules.salmon.output.about,
    output:
        junctions=sample_output("SJ.out.tab.gz"),
        transcripts=sample_output("quant.sf.gz"),
        gene_quant=sample_output("gene_quant.parquet"),
        transcript_quant=sample_output("transcript_quant.parquet"),
        junction_table=sample_output("junctions.parquet"),
        versions=sample_output("versions.json"),
    log:
        scratch_log("tables"),
    group:
        "sample"
    conda:
        "../envs/seqharvest.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 15 * attempt,
    params:
        script=Path(workflow.basedir) / "scripts/tables.py",
        release=config["release"],
        source=SOURCE,
        fingerprint=config["fingerprint"],
        strandedness=lambda wildcards: SAMPLES[wildcards.sample].strandedness,
    shell:
        "(at='--release {params.release} --source {params.source}'"
        " && index=$(python -m seqharvest.reference star $at)"
        " && genes=$(python -m seqharvest.reference tx2gene $at)"
        " && python {params.script} --sample {wildcards.sample}"
        " --fingerprint {params.fingerprint} --release {params.release}"
        " --strandedness {params.strandedness} --star-index $index --tx2gene $genes"
        " --fastp {input.fastp} --sj {input.junctions} --counts {input.counts}"
        " --quant {input.transcripts} --salmon {input.salmon}"
        " --star-version $(cat {input.version})"
        " --out-junctions {output.junction_table} --out-genes {output.gene_quant}"
        " --out-transcripts {output.transcript_quant} --out-versions {output.versions}"
        " && gzip -nc {input.junctions} > {output.junctions}"
        " && gzip -nc {input.transcripts} > {output.transcripts}) > {log} 2>&1"
