//! Docker Engine. The only room that names bollard.
