package sketch

// AppendFolded and AppendFull are the quick and the full way to the same.
var (
	AppendFolded = appendFolded
	AppendFull   = appendFull
)
