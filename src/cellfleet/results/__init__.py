"""What a run leaves behind: label images, tables, records, pictures and the report. Runs no pipeline."""
