localrules:
    describe,


rule describe:
    # Written last: where release.json is, the release is whole. Reads the small records only.
    input:
        rules.annotation.output.made,
        rules.star_index.output.made,
        rules.salmon_index.output.made,
    output:
        f"{RELEASE}release.json",
    log:
        f"logs/{RELEASE}release.log",
    conda:
        "../envs/seqharvest.yaml"
    params:
        script=SCRIPTS / "release.py",
        release=config["release"],
        fasta=config["fasta"],
        gtf=config["gtf"],
    shell:
        "python {params.script} --release {params.release} --fasta {params.fasta}"
        " --gtf {params.gtf} --made {input} --out {output} > {log} 2>&1"
