"""No pipeline touches the random numbers of the program that calls it, and a seed gives the same result each time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

import groundkit
from groundkit.weights.training.scenes import draw_scene

