"""The mark that a restored picture carries: it says in its metadata that it was edited by AI."""

from PIL.PngImagePlugin import PngInfo

NOTICE = "Edited by AI: the filled-in part was made up by faceinpaint and is not what was there."

# IPTC's term for a photo into which a trained model painted.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}" xmp:CreatorTool="faceinpaint">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{NOTICE}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

PNG_CHUNK = b"iTXt" + b"XML:com.adobe.xmp" + bytes(5) + XMP.encode()
"""Type and data of the chunk that holds the mark in a PNG file."""

_XMP_TAG = 700


def mark(format):
    """Pillow's options that write the mark into a file of `format`, such as "JPEG"; BMP can hold none."""
    if format == "PNG":
        info = PngInfo()
        info.add_text("Description", NOTICE)
        info.add_itxt("XML:com.adobe.xmp", XMP)
        return {"pnginfo": info}
    if format == "TIFF":
        return {"tiffinfo": {_XMP_TAG: XMP.encode()}}
    return {} if format == "BMP" else {"xmp": XMP.encode()}
