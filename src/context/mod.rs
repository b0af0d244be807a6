//! The build context, read only: what `.dockerignore` leaves of a directory, in the order that `BuildKit` wants.
