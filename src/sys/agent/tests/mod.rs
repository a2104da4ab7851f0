mod launching;
mod reading;
mod recordings;
