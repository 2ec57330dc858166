"""The VGG networks with an eighth of their channels, and all else as it is."""

from geoattn_jax.models.vgg import VGG16, VGGF, VGGM


def narrow(table):
    return tuple(row._replace(features=row.features // 8) for row in table)


class NarrowVGGF(VGGF):
    convs = narrow(VGGF.convs)
    units = 40


class NarrowVGGM(VGGM):
    convs = narrow(VGGM.convs)
    units = 40


class NarrowVGG16(VGG16):
    convs = narrow(VGG16.convs)
    units = 40
