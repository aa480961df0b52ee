"""The words of descriptions and what they stand for, in the languages that people write films in."""

from __future__ import annotations

import re

# What a word in a description stands for; the first entry of which a word is found counts. Stems match the beginning
# of a word, so that plurals and cases are found too; Chinese and Japanese words match anywhere.
SIZES = {
    "ecu": "ecu|extreme close|eyes only|detailaufnahme|très gros plan|大特写",
    "cu": "cu|close up|close-up|closeup|großaufnahme|nahaufnahme|gros plan|primer plano|特写|アップ",
    "ots": "ots|over the shoulder|over-the-shoulder|über die schulter|过肩",
    "mcu": "mcu|medium close|chest|halbnah|plan rapproché|近景",
    "insert": "insert|detail|einstellung auf|物件",
    "ews": "ews|els|extreme wide|extreme long|establishing|aerial|totale weit|panorama|大远景",
    "ws": "ws|ls|wide|long shot|totale|weit|plan large|plan d'ensemble|全景|远景",
    "two": "two shot|two-shot|2-shot|zweier|双人",
    "fs": "fs|full shot|full|ganz|plan pied",
    "ms": "ms|medium|waist|halbtotale|amerikanisch|plan moyen|plan américain|中景",
}
LIGHTS = {
    "night": "night|midnight|moon|nacht|mitternacht|nuit|noche|ноч|夜|深夜|月",
    "dusk": (
        "dusk|sunset|evening|twilight|dämmer|abend|sonnenuntergang|soir|crépuscule|atardecer|закат|вечер|黄昏|傍晚|夕"
    ),
    "dawn": "dawn|sunrise|morning|daybreak|morgen|sonnenaufgang|aube|matin|amanecer|рассвет|утр|清晨|早晨|朝",
    "storm": "storm|thunder|sturm|gewitter|orage|tempête|tormenta|гроза|шторм|暴风|雷|嵐",
    "fog": "fog|mist|haze|nebel|brouillard|niebla|туман|雾|霧",
    "snow": "snow|blizzard|winter|schnee|neige|nieve|снег|зим|雪",
    "rain": "rain|drizzle|regen|pluie|lluvia|дожд|雨",
    "red": "horror|blood|fire|burn|flame|feuer|blut|brenn|feu|sang|fuego|огон|кров|火|血",
    "day": "day|noon|sun|tag|mittag|sonn|jour|midi|día|день|白天|日|昼",
}
PLACES = {
    "sea": (
        "sea|ocean|beach|coast|shore|harbo|ship|boat|lighthouse|cliff|island|wave|meer|strand|küste|"
        "hafen|leuchtturm|mer|plage|côte|phare|mar|playa|faro|мор|берег|маяк|海|灯塔|沙滩|港|船"
    ),
    "city": (
        "city|street|town|skyline|rooftop|alley|traffic|stadt|straße|strasse|dach|ville|rue|ciudad|"
        "calle|город|улиц|城市|街|都市|屋顶"
    ),
    "forest": "forest|wood|jungle|tree|wald|bäume|forêt|arbre|bosque|лес|森林|树|林",
    "mountain": "mountain|peak|hill|valley|summit|alps|berg|gipfel|tal|hügel|montagne|colline|montaña|гор|холм|山|峰",
    "desert": "desert|dune|sand|mars|wüste|düne|désert|desierto|пустын|沙漠",
    "space": "space|spaceship|orbit|planet|galaxy|weltraum|raumschiff|espace|espacio|космос|太空|宇宙|飞船",
    "road": "road|highway|car|drive|landstraße|autobahn|auto|route|voiture|carretera|coche|дорог|машин|公路|汽车|车",
    "field": (
        "field|meadow|farm|grass|garden|park|feld|wiese|garten|champ|jardin|campo|jardín|поле|сад|田|草原|花园|公园"
    ),
    "corridor": (
        "corridor|hallway|tunnel|stairs|staircase|lift|elevator|flur|gang|treppe|couloir|escalier|"
        "pasillo|коридор|лестниц|走廊|隧道|楼梯"
    ),
    "lab": (
        "lab|control room|server|computer|screen|cockpit|office|labor|büro|bildschirm|bureau|"
        "laboratoire|oficina|лаборат|офис|实验室|办公室|电脑|屏幕"
    ),
    "room": (
        "room|kitchen|bedroom|house|apartment|bar|cafe|café|restaurant|shop|library|attic|zimmer|küche|"
        "wohnung|chambre|cuisine|maison|habitación|cocina|комнат|кухн|房间|厨房|家|咖啡|室"
    ),
}
THINGS = {
    "lighthouse": "lighthouse|leuchtturm|phare|faro|маяк|灯塔",
    "boat": "boat|ship|sail|schiff|boot|bateau|barco|корабл|лодк|船",
    "moon": "moon|mond|lune|luna|лун|月",
    "sun": "sunset|sunrise|sun |sonne|soleil|sol |солнц|太阳|夕阳",
    "bird": "bird|gull|crow|vogel|vögel|möwe|oiseau|mouette|pájaro|gaviota|птиц|чайк|鸟|海鸥",
    "house": "house|hut|cabin|cottage|haus|hütte|maison|cabane|casa|дом|хижин|房子|小屋",
    "tree": "tree|oak|baum|arbre|árbol|дерев|树",
    "car": "car |cars|taxi|truck|auto |voiture|coche|машин|汽车",
    "fire": "fire|flame|candle|torch|feuer|flamme|kerze|feu|bougie|fuego|vela|огон|свеч|火|蜡烛",
    "lamp": "lamp|lantern|light bulb|lampe|laterne|lampe|lámpara|ламп|фонар|灯",
    "door": "door|gate|tür|tor |porte|puerta|двер|门",
    "window": "window|fenster|fenêtre|ventana|окн|窗",
    "phone": "phone|radio|telefon|handy|téléphone|teléfono|телефон|电话|手机|收音机",
    "letter": (
        "letter|paper|note|book|map|diary|brief|buch|karte|zettel|lettre|livre|carte|carta|libro|письм|книг|信|书|地图"
    ),
    "robot": "robot|android|machine|roboter|machine|робот|机器人",
    "rocket": "rocket|spaceship|rakete|raumschiff|fusée|cohete|ракет|火箭|飞船",
    "mug": "mug|cup|coffee|tea |tasse|kaffee|café|taza|чашк|кофе|杯|咖啡|茶",
    "key": "key |keys|schlüssel|clé|llave|ключ|钥匙",
}
MOVES = {
    "push in": "push in|push-in|dolly in|zoom in|track in|moves closer|zufahrt|travelling avant|推",
    "pull out": "pull out|pull back|pull-back|dolly out|zoom out|travelling arrière|拉",
    "pan left": "pan left|pans left|schwenk nach links|panoramique gauche|左摇",
    "pan right": "pan right|pans right|pan |pans |schwenk|panoramique|摇",
    "tilt up": "tilt up|tilts up|crane up|rises|kran|上摇|升",
    "tilt down": "tilt down|tilts down|crane down|下摇|降",
    "track": "track|follow|steadicam|handheld|fahrt|travelling|handkamera|跟|手持",
}
ANGLES = {
    "low": "low angle|low-angle|from below|worm|untersicht|froschperspektive|contre-plongée|仰",
    "high": "high angle|high-angle|from above|overhead|bird's|aerial|drone|aufsicht|vogelperspektive|plongée|俯|航拍",
    "dutch": "dutch|canted|tilted frame|schräg|倾斜",
}
INSIDE = re.compile(r"\bint\b|\binterior|\binnen|intérieur|interior|инт\.|内景|室内", re.IGNORECASE)
NUMBERS = {"two": 2, "three": 3, "four": 4, "crowd": 7, "people": 5, "zwei": 2, "drei": 3, "deux": 2, "trois": 3}
PEOPLE = (
    "man|woman|girl|boy|child|she|he|they|keeper|figure|hero|old|mann|frau|kind|mädchen|junge|sie |er |homme|femme|"
    "enfant|hombre|mujer|niñ|мужчин|женщин|он |она |девоч|男|女|孩|他|她|人"
)
HAND = "hand|finger|main |mano|рук|手"
