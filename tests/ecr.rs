//! The whole program on a scripted Amazon ECR, which keeps the rules of ECR in memory.

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
