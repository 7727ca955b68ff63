"""The command-line arguments that every training script shares: where the pictures are and where the model goes."""

import argparse
from pathlib import Path

from groundkit.weights.training.scenes import SceneMaker


def argument_parser(description: str, output: str) -> argparse.ArgumentParser:
    """A parser with the picture folders, the output folder and the length of the run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--emoji", type=Path, required=True, help="assets/ of the npm package @lobehub/fluent-emoji-3d")
    parser.add_argument("--cutouts", type=Path, help="folder with records.jsonl, images and masks of named cut-outs")
    parser.add_argument("--backgrounds", type=Path, help="folder of photographs (*.jpg)")
    parser.add_argument("--output", type=Path, default=Path(output), help="where the trained model is saved")
    parser.add_argument("--steps", type=int, required=True, help="optimiser steps of this run")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def scene_maker(arguments: argparse.Namespace) -> SceneMaker:
    """The scene maker over the folders that were named on the command line."""
    return SceneMaker(arguments.emoji, arguments.cutouts, arguments.backgrounds)
