rule star_index:
    input:
        genome=rules.annotation.output.genome,
        genes=rules.annotation.output.genes,
    output:
        index=f"{RELEASE}star.tar",
        made=f"{RELEASE}star.json",
    log:
        f"logs/{RELEASE}star.log",
    conda:
        "../envs/star.yaml"
    threads: config["threads"]
    resources:
        mem_mb=index_mem_mb(11),  # suffix array: 9 to 10 bytes a base, and room to sort
        disk_mb=index_disk_mb,
        runtime=lambda wildcards, attempt: 180 * attempt,
    params:
        script=SCRIPTS / "star_index.py",
        overhang=config["sjdb_overhang"],
    shell:
        "python {params.script} --genome {input.genome} --genes {input.genes}"
        " --overhang {params.overhang} --threads {threads} --mem-mb {resources.mem_mb}"
        " --index {output.index} --made {output.made} > {log} 2>&1"


rule salmon_index:
    input:
        transcripts=rules.annotation.output.transcripts,
    output:
        index=f"{RELEASE}salmon.tar",
        made=f"{RELEASE}salmon.json",
    log:
        f"logs/{RELEASE}salmon.log",
    conda:
        "../envs/salmon.yaml"
    threads: config["threads"]
    resources:
        mem_mb=index_mem_mb(8),
        disk_mb=index_disk_mb,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        script=SCRIPTS / "salmon_index.py",
        kmer=config["salmon_kmer"],
    shell:
        "python {params.script} --transcripts {input.transcripts} --kmer {params.kmer}"
        " --threads {threads} --index {output.index} --made {output.made} > {log} 2>&1"
