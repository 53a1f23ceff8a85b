"""The engine as a model: every race, crash and stop of a small world, searched at random; docs/model.md."""
