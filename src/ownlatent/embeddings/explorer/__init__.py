"""The explorer: a local page of a store's samples.

embedding-atlas was tried for this (0.26, November 2026) and not taken. It brings 51 distributions
beside ours (sentence-transformers, transformers, openai, litellm and DuckDB among them; starlette
and uvicorn: 2) and 97 MB of files; it shows images that are bytes within the table, not files
beside it; it draws by WebGPU, and says "Could not get WebGPU device" in a browser without one; and
it answers SQL asked under any host name, without a content security policy. It asked nothing of
other machines in that trial. So this is a page of our own: one script without a build, drawn on a
2-D canvas.
"""

from ownlatent.embeddings.explorer.serve import explore

__all__ = ["explore"]
