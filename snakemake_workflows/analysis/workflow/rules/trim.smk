rule fastp:
    # One run goes in as it is; several are joined first: gzip members in a row are a gzip file.
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
        # Joined runs, trimmed reads, and room for STAR's and salmon's files.
        disk_mb=lambda wildcards, input, attempt: int(3 * input.size_mb) * attempt + 500,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        paired=lambda wildcards: pairing(wildcards, "", "yes"),
    shell:
        # compression 1: read twice and thrown away. fastp takes mates of unequal length for granted
        # and drops the rest of the longer one with a (misspelt) warning; here that is an error.
        "(work=work/{wildcards.sample};"
        " joined() {{ if [ $# -eq 2 ]; then echo $2;"
        " else out=$1; shift; cat $@ > $out && echo $out; fi; }};"
        " one=$(joined $work/joined_1.fastq.gz {input.mate1});"
        " mate2=();"
        " if [ -n '{params.paired}' ]; then"
        " two=$(joined $work/joined_2.fastq.gz {input.mate2});"
        " mate2=(--in2 $two --out2 {output.mate2}); fi;"
        " fastp --in1 $one --out1 {output.mate1} ${{mate2[@]}} --compression 1"
        " --json {output.json} --html /dev/null --thread {threads};"
        " rm -f $work/joined_?.fastq.gz; touch {output.mate2}) > {log} 2>&1;"
        " if grep -q 'different read numbers' {log}; then"
        " echo 'the mates of sample {wildcards.sample} differ in their number of reads"
        " → fetch its runs again; one of the files is not whole' >> {log}; exit 2; fi"
