// Starts ReDoc; a file of its own because the content security policy allows no inline scripts.
const place = document.getElementById("redoc");
Redoc.init(place.dataset.spec, { hideDownloadButton: false, nativeScrollbars: true }, place);
