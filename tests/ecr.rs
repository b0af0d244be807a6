//! The whole program on Amazon ECR, as far as its rules can be had in memory. Row names are those of the fault matrix.

mod chain;
mod cleaning;
mod doctor;
mod gallery;
mod images;
mod immutable;
mod logins;
mod policies;
mod repositories;
mod wire;
mod world;
