"""The lake: Parquet tables in S3, described in Glue, asked through Athena."""
