"""The record of a trial: its one writer and its one reader."""
