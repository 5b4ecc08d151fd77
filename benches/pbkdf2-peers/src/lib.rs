//! Only the bench is of interest here.
