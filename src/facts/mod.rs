//! What must be asked of the machine before a plan can be resolved: git, CI variables, docker contexts.
