"""edgead evaluate RUN|part.edgead --data DIR"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from edgead.cli.options import PATH, check_writable, json_option, precision_option, print_json, target_option
from edgead.data.layout import read_dataset
from edgead.errors import DataError
from edgead.evaluation.evaluate import Evaluation, Predict, evaluate
from edgead.evaluation.report import write_report
from edgead.evaluation.table import table
from edgead.evaluation.thresholds import Thresholds
from edgead.loading import load
from edgead.progress import Progress, progress_bar
