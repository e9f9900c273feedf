"""The matrix: for every operation what it may tell to whom, and which of its fields name what.

An operation that is not here fails the suite. Its recipe says two things that no document says:
whether its reply depends on who asks, and which parameters or body fields name something that may be
somebody else's. From these follow the requests that are sent and what must be alike. Where values
for a field come from is in `pools`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Reach(StrEnum):
    """To whom an operation answers, and whether it tells all of them the same."""

    ALIKE = "the same to everybody, key or not"
    VIEWER = "to everybody, what the caller may see"
    KEY = "to whoever has a key: the caller's own, or what the caller may see"
    ADMINISTRATOR = "to administrators only"
    OPERATOR = "to administrators and keys with the scope metrics"
    SIGNER = "to whoever proves in the request who they are"


class Names(StrEnum):
    """What a field names that may be somebody's."""

    IMAGE = "image"
    JOB = "job"
    GROUP = "group"
    VERDICT = "verdict"
    PICTURE = "picture, by the hash of its bytes"
    STORED = "stored picture, by name"
    KNOWN_AS = "image, as clients of a system that it came from call it"
    THEME = "theme"
    COMMENT = "comment"
    USER = "user"
    KEY = "key"
    QUERY_PICTURE = "query picture"
    RECENT_SEARCH = "recent search"
    TAG = "tag"
    UNDO = "change of many images"
    ADDRESS = "address of a picture, by its token"
    PACK = "pack"
    EVALUATION = "evaluation set"
    EVALUATION_QUERY = "query of an evaluation set"
    EVALUATION_REPORT = "report of an evaluation set"
    WEBHOOK = "webhook"
    DELIVERY = "delivery of a webhook"
    TRANSFER = "import or export"


@dataclass(frozen=True)
class Recipe:
    """What the suite has to know of an operation beside its description.

    Attributes:
        reach: to whom it answers; checked.
        names: fields that name something that may be somebody's: a name that is somebody else's must
            be answered exactly as one that nobody has.
        keeps: a picture that is sent stays known to the server, and so to the caller.
        asks: a POST that changes nothing.
        changes: it changes what it names, so nobody is let loose on what is theirs.
        share: how often it is called, compared with others.
        not_by: who is never let loose on it, because the world would be another one afterwards.
    """

    reach: Reach
    names: Mapping[str, Names] = field(default_factory=dict)
    keeps: bool = False
    asks: bool = False
    changes: bool = False
    share: float = 1.0
    not_by: frozenset[str] = frozenset()


def _image(reach: Reach = Reach.VIEWER, **more: bool | float) -> Recipe:
    return Recipe(reach, {"image_id": Names.IMAGE}, **more)  # type: ignore[arg-type]


QUERY_PICTURE = {"picture_id": Names.QUERY_PICTURE}
RECENT_SEARCH = {"search_id": Names.RECENT_SEARCH}
ASKED_WITH = {"image_id": Names.IMAGE, "picture": Names.QUERY_PICTURE}
SET = {"evaluation_id": Names.EVALUATION}
SET_QUERY = SET | {"query_id": Names.EVALUATION_QUERY}
SET_REPORT = SET | {"report_id": Names.EVALUATION_REPORT}
WEBHOOK = {"webhook_id": Names.WEBHOOK}
DELIVERY = WEBHOOK | {"delivery_id": Names.DELIVERY}
JUDGED = {"good": Names.IMAGE, "bad": Names.IMAGE}
COMMENT = {"image_id": Names.IMAGE, "comment_id": Names.COMMENT}
NO_ADMIN = frozenset({"admin"})
PACK = {"pack_id": Names.PACK}
PACK_IMAGE = PACK | {"image_id": Names.IMAGE}
PACK_IMAGES = PACK | {"image_ids": Names.IMAGE}

KEYS = {"user_id": Names.USER, "key_id": Names.KEY}


def _key(*fields: str, changes: bool = False) -> Recipe:
    return Recipe(
        Reach.KEY,
        {name: KEYS[name] for name in fields},
        changes=changes,
        share=0.5,
        not_by=NO_ADMIN if changes else frozenset(),
    )


RECIPES: dict[str, Recipe] = {
    # Images.
    "listImages": Recipe(
        Reach.VIEWER,
        {"theme": Names.THEME, "group": Names.GROUP, "owner": Names.USER, "pack": Names.PACK},
        share=2,
    ),
    "createImage": Recipe(Reach.KEY, keeps=True, share=0.3),
    "createImages": Recipe(Reach.KEY, keeps=True, share=0.3),
    "findKnownImages": Recipe(Reach.KEY, {"sha256": Names.PICTURE}, asks=True, share=0.5),
    "getImage": _image(share=2),
    "generateImage": Recipe(Reach.KEY, share=0.3),
    "changeImage": Recipe(Reach.KEY, {"image_id": Names.IMAGE}, changes=True, not_by=NO_ADMIN),
    "deleteImage": Recipe(Reach.KEY, {"image_id": Names.IMAGE}, changes=True, not_by=NO_ADMIN),
    "restoreImage": Recipe(Reach.KEY, {"image_id": Names.IMAGE}, changes=True, not_by=NO_ADMIN),
    "emptyTrash": Recipe(Reach.KEY, changes=True, share=0.3, not_by=NO_ADMIN),
    "getImageFile": _image(share=2),
    "getImageThumbnail": _image(share=2),
    "getImageAnimation": _image(),
    "getPicture": Recipe(Reach.VIEWER, {"address": Names.ADDRESS}, share=2),
    "makePictureLinks": Recipe(Reach.KEY, {"image_ids": Names.IMAGE}, asks=True),
    "getImageLabels": _image(),
    "listSimilarImages": _image(),
    "findSimilarImagePosts": _image(asks=True),
    "listRelatedImages": _image(),
    "listGalleryRelated": Recipe(Reach.VIEWER, {"known_as": Names.KNOWN_AS}),
    "getStoredImage": Recipe(Reach.VIEWER, {"filename": Names.STORED}, share=2),
    # Tags.
    "setImageTags": Recipe(Reach.KEY, {"image_id": Names.IMAGE}, changes=True, not_by=NO_ADMIN),
    "listTags": Recipe(Reach.VIEWER, share=2),
    "renameTag": Recipe(Reach.KEY, {"name": Names.TAG}, changes=True, not_by=NO_ADMIN),
    # Many at once.
    "changeManyImages": Recipe(
        Reach.KEY, {"ids": Names.IMAGE, "value": Names.PACK}, changes=True, not_by=NO_ADMIN
    ),
    "getManyChanged": Recipe(Reach.KEY, {"token": Names.UNDO}),
    "undoManyChanged": Recipe(Reach.KEY, {"token": Names.UNDO}, changes=True),
    # Likes and comments.
    "likeImage": _image(Reach.KEY, share=0.5),
    "unlikeImage": _image(Reach.KEY, share=0.5),
    "listLikes": _image(),
    "listComments": _image(),
    "writeComment": _image(Reach.KEY, share=0.5),
    "getComment": Recipe(Reach.VIEWER, COMMENT),
    "deleteComment": Recipe(Reach.KEY, COMMENT, changes=True),
    # Packs.
    "listPacks": Recipe(Reach.VIEWER, {"image_id": Names.IMAGE}),
    "createPack": Recipe(Reach.KEY, share=0.3),
    "getPack": Recipe(Reach.VIEWER, PACK, share=2),
    "changePack": Recipe(
        Reach.KEY, PACK | {"cover_image_id": Names.IMAGE}, changes=True, not_by=NO_ADMIN
    ),
    "deletePack": Recipe(Reach.KEY, PACK, changes=True, not_by=NO_ADMIN),
    "listPackImages": Recipe(Reach.VIEWER, PACK, share=2),
    "addPackImages": Recipe(Reach.KEY, PACK_IMAGES),
    "orderPackImages": Recipe(Reach.KEY, PACK_IMAGES, changes=True),
    "changePackImage": Recipe(Reach.KEY, PACK_IMAGE, changes=True),
    "removePackImage": Recipe(Reach.KEY, PACK_IMAGE, changes=True),
    "importPack": Recipe(Reach.KEY, keeps=True, share=0.3),
    "exportPack": Recipe(Reach.KEY, PACK, asks=True, share=0.3),
    "queuePackExport": Recipe(Reach.KEY, PACK, share=0.3),
    "getPackExport": Recipe(Reach.KEY, {"job_id": Names.JOB}),
    "listPackSuggestions": Recipe(Reach.KEY, PACK, share=0.5),
    "choosePackSuggestion": Recipe(Reach.KEY, PACK_IMAGE, changes=True),
    "undoPackSuggestion": Recipe(Reach.KEY, PACK_IMAGE, changes=True),
    # Search.
    "searchImages": Recipe(Reach.VIEWER, ASKED_WITH, asks=True, share=3),
    "getSearch": Recipe(Reach.VIEWER, ASKED_WITH),
    "searchBatch": Recipe(Reach.VIEWER, asks=True),
    "listQueryPictures": Recipe(Reach.KEY),
    "keepQueryPicture": Recipe(Reach.KEY, share=0.3),
    "getQueryPicture": Recipe(Reach.KEY, QUERY_PICTURE),
    "getQueryPictureThumbnail": Recipe(Reach.KEY, QUERY_PICTURE),
    "deleteQueryPicture": Recipe(Reach.KEY, QUERY_PICTURE, changes=True),
    "listSearchSuggestions": Recipe(Reach.VIEWER, share=2),
    "listRecentSearches": Recipe(Reach.KEY),
    "keepRecentSearch": Recipe(Reach.KEY, share=0.3),
    "eraseRecentSearches": Recipe(Reach.KEY, share=0.3),
    "getRecentSearch": Recipe(Reach.KEY, RECENT_SEARCH),
    "eraseRecentSearch": Recipe(Reach.KEY, RECENT_SEARCH, changes=True),
    "searchImagePosts": Recipe(Reach.VIEWER, asks=True),
    "searchSimilarImages": Recipe(Reach.VIEWER, asks=True),
    # Classifications.
    "listClassifications": Recipe(Reach.KEY, {"job_id": Names.JOB}),
    "createClassification": Recipe(Reach.KEY, {"image_id": Names.IMAGE}, keeps=True, share=0.5),
    "createClassificationBatch": Recipe(Reach.KEY, {"image_ids": Names.IMAGE}, share=0.5),
    "getClassification": Recipe(Reach.KEY, {"image_hash": Names.PICTURE}),
    "deleteClassification": Recipe(Reach.KEY, {"image_hash": Names.PICTURE}),
    "classifyPicture": Recipe(Reach.KEY, keeps=True, share=0.5),
    # Feedback.
    "listFeedback": Recipe(Reach.KEY, {"theme": Names.THEME}),
    "giveFeedback": Recipe(Reach.KEY, {"image_hash": Names.PICTURE}),
    "sendFeedback": Recipe(Reach.KEY, {"image_hash": Names.PICTURE}),
    "getFeedback": Recipe(Reach.KEY, {"feedback_id": Names.VERDICT}),
    "deleteFeedback": Recipe(
        Reach.KEY, {"feedback_id": Names.VERDICT}, changes=True, not_by=NO_ADMIN
    ),
    "listThemes": Recipe(Reach.KEY),
    "getTheme": Recipe(Reach.KEY, {"theme": Names.THEME}),
    # Evaluations: the caller's own.
    "listEvaluations": Recipe(Reach.KEY),
    "createEvaluation": Recipe(Reach.KEY, share=0.3),
    "getEvaluation": Recipe(Reach.KEY, SET),
    "changeEvaluation": Recipe(Reach.KEY, SET, changes=True, share=0.5),
    "deleteEvaluation": Recipe(Reach.KEY, SET, changes=True, share=0.5),
    "fillEvaluation": Recipe(Reach.KEY, SET | {"themes": Names.THEME}),
    "listEvaluationQueries": Recipe(Reach.KEY, SET),
    "addEvaluationQuery": Recipe(Reach.KEY, SET | JUDGED),
    "getEvaluationQuery": Recipe(Reach.KEY, SET_QUERY),
    "changeEvaluationQuery": Recipe(Reach.KEY, SET_QUERY | JUDGED, changes=True, share=0.5),
    "deleteEvaluationQuery": Recipe(Reach.KEY, SET_QUERY, changes=True, share=0.5),
    "judgeEvaluationImage": Recipe(
        Reach.KEY, SET_QUERY | {"image_id": Names.IMAGE}, changes=True, share=0.5
    ),
    "forgetEvaluationImage": Recipe(
        Reach.KEY, SET_QUERY | {"image_id": Names.IMAGE}, changes=True, share=0.5
    ),
    "listEvaluationReports": Recipe(Reach.KEY, SET),
    "makeEvaluationReport": Recipe(Reach.KEY, SET, share=0.3),
    "getEvaluationReport": Recipe(Reach.KEY, SET_REPORT | {"against": Names.EVALUATION_REPORT}),
    "deleteEvaluationReport": Recipe(Reach.KEY, SET_REPORT, changes=True, share=0.5),
    # Groups.
    "listClusters": Recipe(Reach.KEY),
    "groupImages": Recipe(Reach.ADMINISTRATOR, not_by=NO_ADMIN),
    "listClusterImages": Recipe(Reach.KEY, {"cluster_id": Names.GROUP}),
    "listDuplicates": Recipe(Reach.KEY, share=2),
    "listDuplicatesOfImage": _image(share=2),
    "decideDuplicates": Recipe(
        Reach.KEY,
        {"image_id": Names.IMAGE, "keep": Names.IMAGE, "ids": Names.IMAGE},
        changes=True,
        share=0.5,
    ),
    "mergeAllDuplicates": Recipe(Reach.KEY, changes=True, share=0.3, not_by=NO_ADMIN),
    "forgetDuplicates": _image(Reach.KEY, share=0.5),
    "getMap": Recipe(Reach.KEY),
    "getMapPoints": Recipe(Reach.KEY),
    "makeMap": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    # Labels: the same set for everybody.
    "listLabels": Recipe(Reach.ALIKE),
    "readLabels": Recipe(Reach.ALIKE),
    "getLabel": Recipe(Reach.ALIKE),
    "putLabel": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "deleteLabel": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "resetLabels": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    # Styles: one list for everybody, and what the caller's own images have in common.
    "listStyles": Recipe(Reach.ALIKE, share=0.5),
    "getStyle": Recipe(Reach.ALIKE, share=0.5),
    "putStyle": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "deleteStyle": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "resetStyles": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "listStyleSuggestions": Recipe(Reach.KEY),
    "getMyMemory": Recipe(Reach.KEY),
    # Embeddings of what is sent along; nothing stored is told.
    "createEmbeddings": Recipe(Reach.KEY, asks=True, share=0.5),
    "embedImage": Recipe(Reach.KEY, asks=True, share=0.5),
    # Work.
    "listJobs": Recipe(Reach.KEY),
    "getJob": Recipe(Reach.KEY, {"job_id": Names.JOB}),
    "retryJob": Recipe(Reach.KEY, {"job_id": Names.JOB}, changes=True, not_by=NO_ADMIN),
    "cancelJob": Recipe(Reach.KEY, {"job_id": Names.JOB}, changes=True, not_by=NO_ADMIN),
    "getJobSummary": Recipe(Reach.KEY),
    "retryJobs": Recipe(Reach.KEY, changes=True, share=0.3, not_by=NO_ADMIN),
    "streamEvents": Recipe(Reach.KEY),
    "streamJob": Recipe(Reach.KEY, {"job_id": Names.JOB}),
    "listTransfers": Recipe(Reach.KEY),
    "getTransfer": Recipe(Reach.KEY, {"transfer_id": Names.TRANSFER}),
    "listIndexes": Recipe(Reach.KEY),
    "getIndex": Recipe(Reach.KEY),
    "rebuildIndex": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    # The server.
    "checkModels": Recipe(Reach.KEY),
    "getModelSwitch": Recipe(Reach.ADMINISTRATOR),
    "beginModelSwitch": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "flipModels": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "rollBackModels": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "discardOldModel": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "cancelModelSwitch": Recipe(Reach.ADMINISTRATOR, share=0.3, not_by=NO_ADMIN),
    "listMissingPictures": Recipe(Reach.ADMINISTRATOR),
    # Webhooks: the caller's own.
    "listWebhooks": Recipe(Reach.KEY),
    "createWebhook": Recipe(Reach.KEY, share=0.3),
    "getWebhook": Recipe(Reach.KEY, WEBHOOK),
    "changeWebhook": Recipe(Reach.KEY, WEBHOOK, changes=True, share=0.5),
    "deleteWebhook": Recipe(Reach.KEY, WEBHOOK, changes=True, share=0.5),
    "renewWebhookSecret": Recipe(Reach.KEY, WEBHOOK, changes=True, share=0.5),
    "testWebhook": Recipe(Reach.KEY, WEBHOOK, changes=True, share=0.5),
    "listWebhookDeliveries": Recipe(Reach.KEY, WEBHOOK),
    "getWebhookDelivery": Recipe(Reach.KEY, DELIVERY),
    "replayWebhookDelivery": Recipe(Reach.KEY, DELIVERY, changes=True, share=0.5),
    # People and keys.
    "getMe": Recipe(Reach.KEY),
    "changeMe": Recipe(Reach.KEY, changes=True, share=0.3),
    "listUsers": Recipe(Reach.ADMINISTRATOR),
    "listAudit": Recipe(Reach.ADMINISTRATOR, {"user": Names.USER}),
    "listMyAudit": Recipe(Reach.KEY),
    "createUser": Recipe(Reach.ADMINISTRATOR, share=0.3),
    "getUser": Recipe(Reach.KEY, {"user_id": Names.USER}),
    "getStorage": Recipe(Reach.KEY, {"user_id": Names.USER}),
    "changeUser": Recipe(
        Reach.ADMINISTRATOR, {"user_id": Names.USER}, changes=True, share=0.3, not_by=NO_ADMIN
    ),
    "endUser": Recipe(
        Reach.ADMINISTRATOR,
        {"user_id": Names.USER, "heir_id": Names.USER},
        changes=True,
        share=0.3,
        not_by=NO_ADMIN,
    ),
    "listMyKeys": Recipe(Reach.KEY, share=0.5),
    "createMyKey": Recipe(Reach.KEY, share=0.3),
    "getMyKey": _key("key_id"),
    "revokeMyKey": _key("key_id", changes=True),
    "rotateMyKey": _key("key_id", changes=True),
    "listUserKeys": _key("user_id"),
    "createUserKey": _key("user_id", changes=True),
    "getUserKey": _key("user_id", "key_id"),
    "revokeUserKey": _key("user_id", "key_id", changes=True),
    "rotateUserKey": _key("user_id", "key_id", changes=True),
    # Browsers.
    "getSession": Recipe(Reach.KEY, share=0.5),
    "signIn": Recipe(Reach.SIGNER, share=0.5),
    "signOut": Recipe(Reach.ALIKE, share=0.3),
    # Money and numbers.
    "getUsage": Recipe(Reach.KEY, {"user": Names.USER}),
    "getUsageSeries": Recipe(Reach.KEY, {"user": Names.USER}),
    "getStats": Recipe(Reach.KEY),
    "getMetrics": Recipe(Reach.OPERATOR, share=0.5),
    "getService": Recipe(Reach.ALIKE, share=0.5),
    "getHealth": Recipe(Reach.ALIKE, share=0.5),
    "getReady": Recipe(Reach.ALIKE, share=0.5),
    "getLive": Recipe(Reach.ALIKE, share=0.3),
    "getLivez": Recipe(Reach.ALIKE, share=0.3),
}
