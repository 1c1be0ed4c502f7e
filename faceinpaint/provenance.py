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


def save_png(image, path):
    """Write a PIL image as PNG with the notice in its text fields and as XMP (IPTC digital source type)."""
    info = PngInfo()
    info.add_text("Software", "faceinpaint")
    info.add_text("Description", NOTICE)
    info.add_itxt("XML:com.adobe.xmp", XMP)
    # Level 1 packs photos hardly worse than the default, four times as fast.
    image.save(path, format="PNG", pnginfo=info, compress_level=1)
