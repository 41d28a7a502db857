"""The plugin's commands, one module per verb family; `root` puts them together."""
