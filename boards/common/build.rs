//! The model's constants; see [`model`].

#[path = "../model.rs"]
mod model;

fn main() {
    model::write();
}
