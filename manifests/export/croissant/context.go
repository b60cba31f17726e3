package croissant

// context is the context of Croissant 1.1, whole, with the prefixes of PROV and
// ODRL and of cairn's own vocabulary.
var context = obj{
	"@language": "en", "@vocab": "https://schema.org/",
	"sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
	"dct": "http://purl.org/dc/terms/", "prov": "http://www.w3.org/ns/prov#", "odrl": "http://www.w3.org/ns/odrl/2/",
	"cc": "http://creativecommons.org/ns#", "cairn": Vocabulary,

	"annotation": "cr:annotation", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs", "column": "cr:column",
	"conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn", "data": typed("cr:data", "@json"),
	"dataType": typed("cr:dataType", "@vocab"), "equivalentProperty": "cr:equivalentProperty",
	"examples": typed("cr:examples", "@json"), "excludes": "cr:excludes", "extract": "cr:extract", "field": "cr:field",
	"fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
	"includes": "cr:includes", "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
	"key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "readLines": "cr:readLines",
	"recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
	"replace": "cr:replace", "samplingRate": "cr:samplingRate", "sdVersion": "cr:sdVersion", "separator": "cr:separator",
	"source": "cr:source", "subField": "cr:subField", "transform": "cr:transform", "unArchive": "cr:unArchive", "value": "cr:value",

	"cairn:params": typed("cairn:params", "@json"),
	// The order of these lists is a part of what they say.
	"cairn:argv": obj{"@id": "cairn:argv", "@container": "@list"},
}

func typed(id, typ string) obj { return obj{"@id": id, "@type": typ} }
