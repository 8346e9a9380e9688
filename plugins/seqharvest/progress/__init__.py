"""Progress of head jobs: from the line their executor prints to the page of a DAG run."""
