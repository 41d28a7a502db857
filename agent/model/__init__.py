"""The words of the trade as frozen values: no IO, no clock, no environment, no third-party library but semver."""
