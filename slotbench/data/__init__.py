"""Datasets: what they are (`datasets`), where their bytes come from (`sources`), batches (`batches`)."""
