//! A disk that forgets what was not synced. (Filled in by the power-cut test.)
