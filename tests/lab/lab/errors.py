# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception of the lab: a sentence for the person who typed the command."""

from __future__ import annotations


class LabError(Exception):
    """Something the lab cannot do; its text names the thing and the next step."""
