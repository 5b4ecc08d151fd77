//! Both backends against each other, against plain powers, and against numbers with known answers.
