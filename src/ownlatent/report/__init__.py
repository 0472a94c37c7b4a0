"""What a run shows of itself: one self-contained page, and a contact sheet of views.

Presentation only. This room is given plain numbers and arrays and knows nothing of training.
"""

from ownlatent.report.page import Report, write_comparison, write_report
from ownlatent.report.sheet import contact_sheet

__all__ = ["Report", "contact_sheet", "write_comparison", "write_report"]
