"""Seqharvest: harvest public and private RNA-seq into a queryable splicing and expression lake."""
