package croissant

// Required are the members that the specification requires of a dataset.
func Required() []string { return required }
