"""A public archive on this machine: GEO, ENA and the SRA bucket for folders of FASTQ."""
