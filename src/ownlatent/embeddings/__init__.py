"""An encoder's vectors of a data set."""

from ownlatent.embeddings.write import Embedded, write_embeddings

__all__ = ["Embedded", "write_embeddings"]
