# SPDX-License-Identifier: GPL-3.0-or-later
"""A disposable Kubernetes cluster of real parts on one Linux machine, with OpenShift's API beside Kubernetes' own."""

from __future__ import annotations
