"""The model gateway: questions of graphs to language models, within time and budget. The only importer of LangChain's
chat models."""
