package wire

// MetadataFormats is the answer of GET /v1/metadata.
type MetadataFormats struct {
	Formats []MetadataFormat `json:"formats"`
}

// A MetadataFormat is a format in which a dataset's description is served.
type MetadataFormat struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	MediaType string `json:"mediaType"`
	Extension string `json:"extension"`
}
