//! The five paths, one file each.

pub mod command;
mod elsewhere;
mod files;
mod forks;
mod image_event;
mod inflation;
mod layouts;
mod merge;
mod preview;
mod render;
mod signed_events;
mod surfaces;
mod sync;
mod unread;
mod warm;
