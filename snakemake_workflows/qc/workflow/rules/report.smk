localrules:
    report,


rule report:
    # No declared files: it lists and fetches all samples' QC in bulk and writes the report itself,
    # where per-sample inputs would be fetched one after the other (1,059 requests for 150).
    log:
        f"logs/{RESULTS}/report.log",
    conda:
        "../envs/seqharvest.yaml"
    params:
        project=config["project"],
        fingerprint=config["fingerprint"],
        release=config["release"],
        source=SOURCE,
        thresholds=(
            f"--thresholds {config['thresholds']}" if config["thresholds"] else ""
        ),
        samples=config["samples"],
        assays=(f"--assay {' '.join(config['assays'])}" if config["assays"] else ""),
    shell:
        "python -m seqharvest.qc.report --project {params.project}"
        " --fingerprint {params.fingerprint} --release {params.release}"
        " --source {params.source} {params.thresholds} {params.assays} --samples {params.samples} > {log} 2>&1"
