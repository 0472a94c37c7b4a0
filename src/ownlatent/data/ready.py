"""Canvases from what a person has: images still to be decoded, or canvases decoded before."""

from ownlatent.data.build import decode_canvases
from ownlatent.data.canvases import Canvases
from ownlatent.data.opening import Data, check_labels, open_source


def as_canvases(data: Data | Canvases, *, view_size: int, labelled: bool = False) -> Canvases:
    """``data`` decoded for views of ``view_size`` pixels; canvases pass through as they are.

    Raises:
        UsageError: see `open_source` and `decode_canvases`.
    """
    if not isinstance(data, Canvases):
        return decode_canvases(open_source(data, labelled=labelled), view_size=view_size)
    if labelled:
        check_labels("the canvases given", data.labels)
    return data
