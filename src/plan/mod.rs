//! The plan: `build.yaml` in, jobs out. Pure; collects all errors.
