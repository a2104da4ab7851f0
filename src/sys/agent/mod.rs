//! The agents Kapell drives: attempt to command line, output line to event. No I/O.
